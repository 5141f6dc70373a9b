"""Past spans played again, with policies of retraining beside each other."""
