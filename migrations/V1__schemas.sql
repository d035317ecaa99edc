-- One schema for each domain. Types and extensions that all of them use stay in public.
CREATE SCHEMA media;
CREATE SCHEMA users;
CREATE SCHEMA interaction;
CREATE SCHEMA auth;
