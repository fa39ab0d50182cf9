"""The page of `nordic-sparse search --serve`: one query to several systems on one index, side by side, and why each document was found."""
