"""The virtual trainee: a kinematic person with a body, habits and ears, its picture and its bands."""
