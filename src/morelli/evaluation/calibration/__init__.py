"""Calibration: temperature and prior, prediction sets, the weight of the artist prior."""
