"""BlazePose on a bare TFLite runtime: MediaPipe's two networks and what MediaPipe's graph does around them.

`estimator` goes from frame to pose, `detector` finds a person anywhere, `region` is the square that is looked at, `landmarks`
reads the landmark network, `smoothing` filters over time, `network` runs a model file. The order of work, the constants and
the tie-breaks are those of MediaPipe 0.10.18's graph `pose_landmark_cpu`, so that the landmarks agree with it.
"""
