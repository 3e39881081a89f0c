"""Answers to the hooked calls of a program: what it gets from the guard."""
