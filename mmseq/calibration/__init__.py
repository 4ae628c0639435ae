"""How sure a model is, set right on labels that it has not learned from.

`Evidence` (what a head said at labels) is fitted to a calibration of its task: `ClassTask`, `RangeTask`, or
`NoTask`, which says why there is none. `Calibration` holds those of a model, and is kept in its bundle.
"""
