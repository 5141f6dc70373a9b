"""The pipeline on Kubeflow: compiled to a KFP v2 package, run as pods, followed from the command line."""
