ALTER FUNCTION ensure_partitions SET lock_timeout = '1s';
DROP TABLE retired_months;
