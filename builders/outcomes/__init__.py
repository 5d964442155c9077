"""What became of what was shown: impressions, clicks and rates by release."""
