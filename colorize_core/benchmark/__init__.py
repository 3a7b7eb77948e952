"""Measuring tools: baseline loops of other projects, kernel limits, models alone, CPU time and memory of processes."""
