"""The search for better settings of a model's members: what is searched, how trials go, and what is chosen of them."""
