//! The functions that copy attributes into typed tables, for as long as both are written.

use super::super::model::Function;

const COPY: &str = include_str!("../../../migrations/V16__copy_attributes.sql");
const KEEP: &str = include_str!("../../../migrations/V21__keep_what_leaves_attributes.sql");

/// What converts a key's value to its column's type. PostgreSQL keeps such a function parsed, and prints it in its own words.
pub(super) fn conversions() -> [Function; 5] {
    [
        conversion(
            "attribute_text",
            "text",
            "RETURN CASE WHEN (jsonb_typeof(value) = ANY (ARRAY['string'::text, 'number'::text])) \
             THEN (value #>> '{}'::text[]) ELSE NULL::text END",
        ),
        conversion(
            "attribute_key",
            "text",
            "RETURN CASE WHEN ((jsonb_typeof(value) = ANY (ARRAY['string'::text, 'number'::text])) \
             AND (octet_length((value #>> '{}'::text[])) <= 2000)) \
             THEN (value #>> '{}'::text[]) ELSE NULL::text END",
        ),
        conversion(
            "attribute_integer",
            "integer",
            "RETURN CASE jsonb_typeof(value) \
             WHEN 'number'::text THEN CASE WHEN (((value)::numeric >= ('-2147483648'::integer)::numeric) \
             AND ((value)::numeric <= (2147483647)::numeric)) \
             THEN CASE WHEN (((value)::numeric % (1)::numeric) = (0)::numeric) \
             THEN (value)::integer ELSE NULL::integer END ELSE NULL::integer END \
             WHEN 'string'::text THEN CASE WHEN ((value #>> '{}'::text[]) ~ '^(0|-?[1-9][0-9]{0,9})$'::text) \
             THEN CASE WHEN ((((value #>> '{}'::text[]))::bigint >= '-2147483648'::integer) \
             AND (((value #>> '{}'::text[]))::bigint <= 2147483647)) \
             THEN ((value #>> '{}'::text[]))::integer ELSE NULL::integer END ELSE NULL::integer END \
             ELSE NULL::integer END",
        ),
        conversion(
            "attribute_numeric",
            "numeric",
            "RETURN CASE jsonb_typeof(value) WHEN 'number'::text THEN (value)::numeric \
             WHEN 'string'::text THEN CASE \
             WHEN ((value #>> '{}'::text[]) ~ '^-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,9})?$'::text) \
             THEN ((value #>> '{}'::text[]))::numeric ELSE NULL::numeric END ELSE NULL::numeric END",
        ),
        conversion(
            "attribute_texts",
            "text[]",
            "STRICT RETURN CASE WHEN (jsonb_typeof(value) = 'array'::text) THEN CASE WHEN (NOT (EXISTS (SELECT \
             FROM jsonb_array_elements(attribute_texts.value) a(element) \
             WHERE ((jsonb_typeof(a.element) <> 'string'::text) \
             OR (octet_length((a.element #>> '{}'::text[])) > 2000))))) THEN ARRAY(SELECT a.element \
             FROM jsonb_array_elements_text(attribute_texts.value) WITH ORDINALITY a(element, place) \
             ORDER BY a.place) ELSE NULL::text[] END ELSE NULL::text[] END",
        ),
    ]
}

/// The trigger's function and the one that it calls. A body is what the migration says, which PostgreSQL keeps as text.
pub(super) fn copying(keeps_what_is_taken_out: bool) -> [Function; 2] {
    let trigger = if keeps_what_is_taken_out { KEEP } else { COPY };
    [
        written_out(
            "copy_attributes(uuid,jsonb,jsonb)",
            "medium uuid, before jsonb, after jsonb",
            "void",
            COPY,
        ),
        written_out("copy_written_attributes()", "", "trigger", trigger),
    ]
}

fn conversion(name: &str, returns: &str, rest: &str) -> Function {
    Function {
        name: format!("media.{name}(jsonb)"),
        security_definer: false,
        definition: format!(
            "CREATE OR REPLACE FUNCTION media.{name}(value jsonb) RETURNS {returns} \
             LANGUAGE sql IMMUTABLE PARALLEL SAFE {rest}"
        ),
    }
}

fn written_out(name: &str, arguments: &str, returns: &str, migration: &str) -> Function {
    let (bare, _) = name.split_once('(').unwrap_or((name, ""));
    let body: Vec<&str> = body(migration, bare).split_whitespace().collect();
    Function {
        name: format!("media.{name}"),
        security_definer: returns == "trigger",
        definition: format!(
            "CREATE OR REPLACE FUNCTION media.{bare}({arguments}) RETURNS {returns} LANGUAGE plpgsql \
             SET search_path TO 'pg_catalog', 'pg_temp' AS $function$ {} $function$",
            body.join(" ")
        ),
    }
}

/// What stands between the dollars of the function that `migration` creates.
fn body<'a>(migration: &'a str, function: &str) -> &'a str {
    let created = migration.split_once(&format!(" FUNCTION media.{function}("));
    let body = created.and_then(|(_, rest)| rest.split_once(" AS $$")?.1.split_once("$$;"));
    body.map_or("", |(body, _)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_found_in_the_migrations() {
        assert!(body(COPY, "copy_attributes").contains("media.books"));
        assert!(body(COPY, "copy_written_attributes").contains("TG_OP"));
        assert!(body(KEEP, "copy_written_attributes").contains("OLD.attributes || NEW.attributes"));
    }
}
