"""The cluster and its image: made, checked and filled with what runs need."""
