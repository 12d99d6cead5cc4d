"""Uploaded images: archives of class folders, IDX files or NumPy arrays. Without torch, because the API imports it.

`checking` checks an upload and copies it into its stored form, which `stored` describes. Decision 0024 has the reasons.
Pillow is imported by `checking` and `pictures` only.
"""
