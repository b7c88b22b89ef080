"""What happens between the drivers: time, features, model, coaching, and the shell around them."""
