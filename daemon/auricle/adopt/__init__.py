"""Other people's networks made into bundles: what a `.tflite` file says of itself, what is assumed, what is proven."""
