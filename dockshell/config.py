"""What a person configured."""
