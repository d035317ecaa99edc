//! What a row costs before it reaches the server: the hash that routes and checks, and the rows of each large table.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omtdb::datagen::order::{Member, walk};
use omtdb::datagen::row::Rows;
use omtdb::datagen::{Layout, Model, Profile, Shape, Table};
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
    let model = Model::new(42, Profile::Ci.sizes(), &Shape::default());
    let members: Vec<Member> = (0..)
        .zip(model.items_of_users().take(500))
        .filter(|&(_, items)| items > 0)
        .map(|(user, items)| Member { user, items: u32::try_from(items).unwrap_or(u32::MAX) })
        .collect();
    let items = members.iter().map(|member| u64::from(member.items)).sum();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(items));
    for layout in [Layout::Arrival, Layout::Clustered] {
        group.bench_function(format!("choose media, {layout}"), |bencher| {
            bencher.iter(|| {
                walk(&model, members.clone(), layout, |user, pick| {
                    black_box((user, pick));
                    true
                });
            });
        });
        let mut rows = Rows::new(Table::UserMedia.columns());
        group.bench_function(format!("interaction.user_media, {layout}"), |bencher| {
            bencher.iter(|| {
                walk(&model, members.clone(), layout, |user, pick| {
                    Table::write_item(&model, user, pick, &mut rows);
                    if rows.len() > 1 << 19 {
                        rows.clear();
                    }
                    true
                });
            });
        });
    }
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
