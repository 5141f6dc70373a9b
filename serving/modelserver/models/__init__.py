"""The models that are served: which versions, from which folders, loaded and unloaded in good order."""
