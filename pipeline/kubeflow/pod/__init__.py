"""The programs that pods run. Pods have neither kfp nor access to the cluster's API."""
