SELECT time, value AS parts FROM observations WHERE signal = 'ppartcount' AND quality = 'good' ORDER BY time
