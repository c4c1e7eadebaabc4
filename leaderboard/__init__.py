"""The leaderboard: submissions, their validation, boards that keep them, and rankings.

The way of a submission: ``submission.read`` (bytes), ``validation.validate``, ``board.Board.add`` (a folder),
``board.Board.entries``, ``ranking.rank`` (per suite and track), ``citation``.
"""
