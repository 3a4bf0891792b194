"""Pages that people look at: one style, drawings, and figures in words.

A page needs nothing from elsewhere: its style, drawings and the little script are in it.
"""
