"""Other people's networks are made into bundles here: what a `.tflite` file says of itself is found, the rest is
assumed, and a recording may prove it."""
