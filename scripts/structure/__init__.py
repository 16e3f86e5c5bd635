"""The parts of check-structure.py."""
