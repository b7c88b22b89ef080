"""Seeds of whom the networks learn from and are judged by; far from any that a user would type, and from each other."""

EMULATED = 1_000_000
"""From here on: sessions to learn from, whose landmarks have emulated errors."""
RENDERED = 2_000_000
"""From here on: rendered clips to learn from."""
FREE, EVERYDAY = range(2_100_000, 2_170_000), range(2_170_000, 2_200_000)
"""Whom a camera watches and nobody corrects: sets as people do them, and sessions of nothing but other things."""
LIVELY, LIVELY_OTHERS = range(2_200_000, 2_400_000), range(2_400_000, 2_500_000)
"""What only bands watch: sets in lively manners, and sessions of nothing but other exercises."""
ANY_MANNER = range(2_500_000, 2_900_000)
"""Clips of trainees who stand, hold their arms and rest as anybody might, and do other exercises before and after."""
OTHERS = range(2_900_000, 3_000_000)
"""Sessions of nothing but other exercises."""
HELD_OUT = 3_000_000
"""From here on: rendered clips that tell how a training goes."""
UNSEEN = 4_000_000
"""From here on: sessions and clips that nothing learns from and nothing is chosen by."""
