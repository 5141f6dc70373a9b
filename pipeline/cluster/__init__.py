"""The cluster and the task image: how they are made and checked, and what runs need of them."""
