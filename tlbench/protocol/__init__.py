"""What a transfer-learning evaluation is: specifications, the interface, the meter, evaluation and records."""
