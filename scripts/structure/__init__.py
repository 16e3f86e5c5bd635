"""What check-structure.py is made of."""
