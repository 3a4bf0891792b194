"""The drift check: does a batch still look like the data the model learnt, and behave like it?"""
