//! What a row costs before it reaches the server: the hash that routes and checks, and the rows of each large table.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omtdb::datagen::row::Rows;
use omtdb::datagen::{Model, Profile, Table};
use omtdb::partition::hash::{hash_bytes_extended, row_hash};

fn hashes(criterion: &mut Criterion) {
    let id = uuid::Uuid::from_u128(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11);
    criterion.bench_function("route a user", |bencher| bencher.iter(|| row_hash(black_box(id))));
    let row = [7; 240];
    let mut group = criterion.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(row.len() as u64));
    group.bench_function("a row of 240 bytes", |bencher| {
        bencher.iter(|| hash_bytes_extended(black_box(&row), 0))
    });
    group.finish();
}

/// Encodes rows until the buffer is full, again and again, into nothing.
fn rows(criterion: &mut Criterion) {
    let model = Model::new(42, Profile::Ci.sizes());
    let items: Vec<u64> = model.items_of_users().take(500).collect();
    let mut group = criterion.benchmark_group("encode");
    let mut rows = Rows::new(Table::UserMedia.columns());
    group.throughput(Throughput::Elements(items.iter().sum()));
    group.bench_function("interaction.user_media", |bencher| {
        bencher.iter(|| {
            for (user, &items) in (0..).zip(&items) {
                Table::write_items(&model, user, items, &mut rows);
                if rows.len() > 1 << 19 {
                    let full = rows.take(Vec::new());
                    drop(rows.take(black_box(full)));
                }
            }
        });
    });
    for table in [Table::Media, Table::Users, Table::ListItems, Table::LoginEvents] {
        let mut rows = Rows::new(table.columns());
        (0..500).for_each(|index| table.write(&model, index, &mut rows));
        group.throughput(Throughput::Elements(rows.tally().rows));
        group.bench_function(table.name(), |bencher| {
            bencher.iter(|| {
                (0..500).for_each(|index| table.write(&model, index, &mut rows));
                let full = rows.take(Vec::new());
                drop(rows.take(black_box(full)));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hashes, rows);
criterion_main!(benches);
