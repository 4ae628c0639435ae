"""Numbers that come round again, such as directions and times of day."""
