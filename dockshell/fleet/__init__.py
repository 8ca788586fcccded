"""One command in many containers at once: which ones (words, selection), the processes of ours that enter them
(worker), all of them together (running), and what is told of them (board, reports, spool)."""
