"""`make bench`: Mimeo's steps and samples beside plain PyTorch and Keras, in turn, in one run."""
