"""Availability of batches: push, hold, fetch what is missing, report."""
