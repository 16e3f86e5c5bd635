"""What check.py checks with."""
