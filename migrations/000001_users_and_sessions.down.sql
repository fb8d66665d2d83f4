DROP TABLE review_sessions;
DROP TABLE users;
