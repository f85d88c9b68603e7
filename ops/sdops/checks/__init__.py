"""What is wrong, judged from facts alone: pure functions, one literal register, no I/O."""
