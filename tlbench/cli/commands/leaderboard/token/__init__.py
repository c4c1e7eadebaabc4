"""Make, list and revoke the tokens of a leaderboard's server."""
