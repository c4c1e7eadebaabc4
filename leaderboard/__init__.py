"""The leaderboard: submissions, validation and ranking (to come)."""
