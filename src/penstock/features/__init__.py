"""Feature columns: from raw columns of a table to what a model takes, defined once for training and for serving."""
