"""Have the images changed? What is measured of them, what is too much, and what is to be done."""
