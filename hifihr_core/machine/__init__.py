"""Devices, threads, memory and compiled loops of this machine, and the division of work among several machines."""
