SELECT round(avg(value), 2) AS average, max(value) AS maximum, count(value) AS readings
FROM observations WHERE signal = 'S6load' AND quality = 'good'
