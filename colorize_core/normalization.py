"""Scale of network inputs and outputs: L / 50 - 1 and ab / 110.

The sRGB gamut spans a [-86.2, 98.2] and b [-107.9, 94.5], so 110 never clips.
"""

L_CENTER = 50.0
AB_SCALE = 110.0
