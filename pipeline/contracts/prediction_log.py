"""The log of predictions: what the gateway writes and monitoring reads.

A folder for each day, `date=2026-01-31/<time>-<id>.parquet`, with the model's features as columns and those of the answer.
Where a feature has the name of one of these, the answer's column is `predicted_<name>`.
"""

TIME = "prediction_time"
"""When the row was answered, as a timestamp in UTC."""
REQUEST_ID = "prediction_request_id"
"""The request's id."""
ROW = "prediction_row"
"""The number of the row within its request, from 1."""
KEY = "prediction_key"
"""The key of the row that the caller has chosen; null where it has chosen none."""
VERSION = "prediction_version"
"""The version that answered."""
DIGEST = "prediction_model_digest"
"""The digest of the model that answered, which tells it from another with the version's number; null where it is unknown."""
SHADOW = "prediction_shadow"
"""Whether it answered as a shadow: the caller got another version's answer, which is in another row if it was sampled, too."""
LABEL = "prediction_label"
"""The predicted class."""
SCORE = "prediction_score"
"""The probability of the positive class; of more than two classes, of the predicted one."""
PROBABILITIES = "prediction_probabilities"
"""The probability of each of more than two classes, in the model's order."""
VALUE = "prediction_value"
"""A regression's prediction."""

ANSWER = (TIME, REQUEST_ID, ROW, KEY, VERSION, DIGEST, SHADOW, LABEL, SCORE, PROBABILITIES, VALUE)
"""All of these columns. A log has those that suit its model, and logs of earlier releases lack some."""
