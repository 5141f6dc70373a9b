"""What runs in the pods of a run, which have neither kfp nor a cluster's API at hand."""
