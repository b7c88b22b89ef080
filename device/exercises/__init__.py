"""Exercises are data: one TOML file each, here or in the folder that the config names."""

from device.exercises.definition import CURVE_POINTS, BandCue, CueRule, EntryPose, Exercise, Habit
from device.exercises.loader import KINDS, load_exercise, load_exercises

__all__ = ["CURVE_POINTS", "KINDS", "BandCue", "CueRule", "EntryPose", "Exercise", "Habit", "load_exercise", "load_exercises"]
