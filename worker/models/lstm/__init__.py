"""Character-level LSTM."""
