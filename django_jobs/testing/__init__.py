"""What projects import in their own tests."""
