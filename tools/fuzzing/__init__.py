"""Damaged and hostile files for every reader: how they are made, what reads them, and the guard around it."""
