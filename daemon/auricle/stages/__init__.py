"""This room says what a stage is, and holds the stages that the features, the gate and the ear share."""
