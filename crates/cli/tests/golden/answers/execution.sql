SELECT text AS execution, count(*) AS times FROM observations WHERE signal = 'pexecution' GROUP BY text ORDER BY text
