"""Operations on journals beyond reading: replay, models asked again, the difference of two runs, and causes.

Nothing is imported here: who compares two journals needs nothing of what executes one again.
"""
